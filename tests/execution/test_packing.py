"""Objects with classes of the user's own reach a process that cannot import them by name."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from gcnas.errors import ConfigurationError
from gcnas.execution import worker
from gcnas.execution.cluster_worker import Shipment
from gcnas.execution.packing import pack, unpack
from gcnas.execution.worker import refuse_in_worker
from gcnas.space import load_space
from gcnas.space.presets import CNN

OWN = """
from gcnas.records import Cost
from gcnas.space import Choice, LayerType, SearchSpace

class Mine(LayerType):
    filters = Choice(2, 4)
    def output_shape(self, shape, values):
        return shape.strided(values["filters"])
    def cost(self, shape, values):
        return Cost(values["filters"], 0)

SPACE = SearchSpace("mine", (Mine(),), references={"lambda": lambda space: None})
"""

READ = """
import pickle, sys
from gcnas.execution.packing import unpack
parcel = pickle.load(open(sys.argv[1], "rb"))
print(unpack(parcel).fingerprint)
"""

SCRIPT = """
import pickle, subprocess, sys
from dataclasses import replace
from gcnas.execution.packing import pack
from gcnas.execution.worker import refuse_in_worker
{own}
{call}
"""

SEND = """
parcel = pack(replace(SPACE, references=dict()))
assert str(parcel.main) == __file__, parcel
pickle.dump(parcel, open(sys.argv[1], "wb"))
print(SPACE.fingerprint)
"""


def run(code: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


def test_what_can_be_imported_needs_no_file() -> None:
    parcel = pack(CNN.layer_types)
    assert (parcel.sources, parcel.main) == ((), None)
    assert [type(found) for found in unpack(parcel)] == [type(given) for given in CNN.layer_types]


def test_classes_of_a_file_are_found_by_executing_it(tmp_path: Path) -> None:
    file, parcel_file = tmp_path / "packed_space.py", tmp_path / "parcel"
    file.write_text(OWN)
    space = load_space(f"{file}:SPACE")
    parcel = pack(space.layer_types[0])
    assert parcel.sources == ((type(space.layer_types[0]).__module__, file),)
    parcel_file.write_bytes(pickle.dumps(pack(space.layer_types)))
    done = run(READ.replace("unpack(parcel).fingerprint", "unpack(parcel)[0].name"), parcel_file)
    assert done.stdout.split() == [space.layer_types[0].name], done.stderr


def test_classes_of_files_of_one_name_are_found_where_the_files_lie_elsewhere(tmp_path: Path) -> None:
    files = [tmp_path / name / "space.py" for name in ("one", "other")]
    for place, file in enumerate(files, start=1):
        file.parent.mkdir()
        file.write_text(f"{OWN}\nNUMBER = {place}\n")
    types = [load_space(f"{file}:SPACE").layer_types[0] for file in files]
    buffers: list[pickle.PickleBuffer] = []
    (tmp_path / "shipment").write_bytes(pickle.dumps(Shipment.of(pack(types, buffers), buffers)))
    for file in files:
        file.unlink()
    code = (
        "import pickle, sys\n"
        "shipment = pickle.loads(open(sys.argv[1], 'rb').read())\n"
        "found = shipment.unpack()\n"
        "print(*(sys.modules[type(each).__module__].NUMBER for each in found))\n"
    )
    done = run(code, tmp_path / "shipment")
    assert done.stdout.split() == ["1", "2"], done.stderr


def test_classes_of_the_script_are_found_without_running_its_main_part(tmp_path: Path) -> None:
    script, parcel = tmp_path / "script.py", tmp_path / "parcel"
    guarded = 'if __name__ == "__main__":\n    ' + SEND.strip().replace("\n", "\n    ")
    script.write_text(SCRIPT.format(own=OWN, call=guarded))
    sent = subprocess.run([sys.executable, script, parcel], capture_output=True, text=True)
    done = run(READ, parcel)
    assert done.stdout == sent.stdout != "", done.stderr + sent.stderr


def test_a_script_that_begins_a_run_when_imported_is_told_so() -> None:
    refuse_in_worker()
    worker._in_worker.set()
    try:
        with pytest.raises(ConfigurationError, match=r"if __name__ == '__main__'.*workers=1"):
            refuse_in_worker()
    finally:
        worker._in_worker.clear()


def test_a_prompt_cannot_be_sent() -> None:
    code = f"from gcnas.execution.packing import pack\n{OWN}\npack(SPACE.layer_types)"
    done = run(code)
    assert "ConfigurationError" in done.stderr
    assert "notebook or at the prompt" in done.stderr
    assert "workers=1" in done.stderr
