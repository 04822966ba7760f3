"""What all sections of the configuration have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core.core_schema import ValidationInfo


class Section(BaseModel):
    """One ``[section]``: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """``true`` is no number, though Python counts it as one."""
        if isinstance(value, bool):
            field = cls.model_fields[info.field_name or ""]
            if field.annotation is not bool:
                raise ValueError("it is a truth value")
        return value
