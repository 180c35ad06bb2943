"""Screens that ask the user for something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option


class Ask(ModalScreen[str]):
    """Asks for a line; dismissed with it, or with nothing.

    Args:
        question: what is wanted.
        value: what stands there at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss('')", "Cancel")]

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__()
        self._question = question
        self._value = value

    def compose(self) -> ComposeResult:
        """Make the widgets."""
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            yield Input(self._value, id="answer")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the line."""
        self.dismiss(event.value.strip())


class Choose(ModalScreen[int]):
    """Lets the user choose; dismissed with the index, or -1.

    Args:
        question: what is to be chosen.
        options: among which.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(-1)", "Cancel")]

    def __init__(self, question: str, options: Sequence[str]) -> None:
        super().__init__()
        self._question = question
        self._options = options

    def compose(self) -> ComposeResult:
        """Make the widgets."""
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            yield OptionList(*map(Option, self._options), id="options", markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take the choice."""
        self.dismiss(event.option_index)
