"""Pictures of a classifier's predictions: confusion matrix, ROC, precision-recall, reliability."""

from dlcli.reports.confusion import confusion_matrix
from dlcli.reports.curves import precision_recall, roc
from dlcli.reports.reliability import reliability

__all__ = ["confusion_matrix", "precision_recall", "reliability", "roc"]
