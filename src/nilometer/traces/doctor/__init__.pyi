from .coverage import KeyCoverage as KeyCoverage
from .diagnosis import Diagnosis as Diagnosis, ModelDiagnosis as ModelDiagnosis, diagnose as diagnose
from .rules import Finding as Finding, SliceCoverage as SliceCoverage
