"""What a sensor says: values by name, or why there are none."""

from collections.abc import Mapping

Value = float | str
Readings = Mapping[str, Value]  # keys are the fields of Sample, units in their names


class Absent(Exception):
    """There is no reading; the message says why.  Never leaves this package."""
