"""Images and labels: folders, CSV files, arrays and built-in sets, read into the three splits."""

from gcnas.data.dataset import Dataset, Split
from gcnas.data.duplicates import DuplicateCounts
from gcnas.data.loading import check, load
from gcnas.data.preprocessing import Preprocessing
from gcnas.data.summary import DataSummary

__all__ = ["DataSummary", "Dataset", "DuplicateCounts", "Preprocessing", "Split", "check", "load"]
