import torch

from gcnas.bench.window_cost import window_costs


def test_what_m_costs() -> None:
    threads = torch.get_num_threads()
    rows = window_costs(windows=(1, 4), depths=(4, 6), repeats=1)
    assert torch.get_num_threads() == threads
    assert [(row["depth"], row["memory"], row["m"]) for row in rows] == [
        (depth, memory, m) for depth in (4, 6) for memory in ("stacked", "recurrent") for m in (1, 4)
    ]
    kept = {(row["depth"], row["memory"], row["m"]): row["bytes_per_network"] for row in rows}
    # m products of each node for the window and for skips, beside what does not grow; depth does not count.
    width, convolutions, blocks, size = 48, 2, 2, 4
    grows = size * width * (2 * convolutions * blocks + 1)
    for memory in ("stacked", "recurrent"):
        assert int(kept[4, memory, 4] or 0) - int(kept[4, memory, 1] or 0) == 3 * grows
        assert kept[4, memory, 4] == kept[6, memory, 4]
    assert all(float(row["sample_ms"] or 0) > 0 and float(row["gradient_ms"] or 0) > 0 for row in rows)
