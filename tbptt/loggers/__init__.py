"""Where logged values are kept: CSV files, TensorBoard event files, or whatever has `log_metrics`."""

from tbptt.loggers.base import Logger
from tbptt.loggers.choice import as_loggers
from tbptt.loggers.csv_logger import CSVLogger
from tbptt.loggers.tensorboard_logger import TensorBoardLogger

__all__ = ["CSVLogger", "Logger", "TensorBoardLogger", "as_loggers"]
