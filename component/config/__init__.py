"""The configuration: options, loading, and what to say when something is wrong with it."""

from component.config.changes import Changes, compare
from component.config.errors import ConfigError, Problem
from component.config.load import DEFAULT_PATH, PATH_VARIABLE, config_path, load
from component.config.model import (
    ComponentSection,
    Config,
    ContactsSection,
    DatabaseSection,
    LimitsSection,
    LogSection,
    MetricsSection,
    ServedSection,
)
from component.config.movers import MoversSection

__all__ = [
    "DEFAULT_PATH",
    "PATH_VARIABLE",
    "Changes",
    "ComponentSection",
    "Config",
    "ConfigError",
    "ContactsSection",
    "DatabaseSection",
    "LimitsSection",
    "LogSection",
    "MetricsSection",
    "MoversSection",
    "Problem",
    "ServedSection",
    "compare",
    "config_path",
    "load",
]
