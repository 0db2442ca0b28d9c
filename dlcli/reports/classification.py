"""Pictures of a classifier's predictions: confusion matrix, ROC, precision-recall."""

from dlcli.reports.confusion import confusion_matrix
from dlcli.reports.curves import precision_recall, roc

__all__ = ["confusion_matrix", "precision_recall", "roc"]
