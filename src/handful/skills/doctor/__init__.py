"""What may be wrong with a support set: labels, copies, strays, sizes; from features alone.

`examine` is a pure function of features; `diagnose` finds the features of a skill or of a folder
and, where they can be had, its pictures.
"""

from handful.skills.doctor._examine import FAR, SIMILAR, SUSPECT, examine, twins
from handful.skills.doctor._findings import Examination, Finding, Twins
from handful.skills.doctor._sources import Diagnosis, diagnose

__all__ = [
    "FAR",
    "SIMILAR",
    "SUSPECT",
    "Diagnosis",
    "Examination",
    "Finding",
    "Twins",
    "diagnose",
    "examine",
    "twins",
]
