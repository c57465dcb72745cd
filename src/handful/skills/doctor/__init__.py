"""What may be wrong with a support set: labels, copies, outliers, sizes; from features alone.

`examine` is a pure function of features; `diagnose` finds the features of a skill or of a folder
and, where they can be had, its pictures; `contact_sheet` shows what was found.
"""

from handful.skills.doctor.diagnosis import Diagnosis, diagnose
from handful.skills.doctor.duplicates import SIMILAR, find_duplicates
from handful.skills.doctor.examination import examine
from handful.skills.doctor.figure import contact_sheet
from handful.skills.doctor.findings import Duplicate, Examination, Finding
from handful.skills.doctor.measures import FAR, SUSPECT

__all__ = [
    "FAR",
    "SIMILAR",
    "SUSPECT",
    "Diagnosis",
    "Duplicate",
    "Examination",
    "Finding",
    "contact_sheet",
    "diagnose",
    "examine",
    "find_duplicates",
]
