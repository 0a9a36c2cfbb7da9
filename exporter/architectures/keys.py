"""A model's config.json, read key by key: each value of its type, or an error naming the key."""

from typing import Any, NoReturn

from edge.errors import SourceError

LARGEST = 2**31 - 1
FINITE = 1e30  # what edge.format.config takes for a number


class Keys:
    """A JSON object and where it is from. A null counts as a missing key."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def over(self, defaults: dict[str, Any]) -> "Keys":
        """The same keys, and `defaults` for those not there at all: a null stays a null."""
        return Keys(defaults | self.values, self.where)

    def under(self, name: str) -> "Keys":
        """The object of this name; one without keys if there is none."""
        inner = self._typed(name, dict, {}, "an object")
        return Keys(inner, f"{self.where}: {name}")

    def present(self, *names: str) -> dict[str, Any]:
        """The keys that are there, or those of `names`."""
        return {k: v for k, v in self.values.items() if v is not None and k in (names or (k,))}

    def integer(
        self, name: str, default: int | None = None, least: int = 1, most: int = LARGEST
    ) -> int:
        value: int = self._typed(name, int, default, "a whole number")
        if not least <= value <= most:
            self._refuse(name, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self._get(name, default)
        if type(value) not in (int, float) or not abs(value) < FINITE:
            self._refuse(name, "a finite number")
        return float(value)

    def positive(self, name: str, default: float | None = None) -> float:
        value = self.number(name, default)
        if value <= 0:
            self._refuse(name, "a number above 0")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value: bool = self._typed(name, bool, default, "true or false")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        value: str = self._typed(name, str, default, "a string")
        return value

    def numbers(self, name: str, length: int) -> tuple[float, ...]:
        values = self._listed(name, length, "numbers above 0")
        if not all(type(v) in (int, float) and 0 < v < FINITE for v in values):
            self._refuse(name, f"{length} numbers above 0")
        return tuple(float(v) for v in values)

    def texts(self, name: str, length: int) -> tuple[str, ...]:
        values = self._listed(name, length, "strings")
        if not all(type(v) is str for v in values):
            self._refuse(name, f"{length} strings")
        return tuple(values)

    def _listed(self, name: str, length: int, what: str) -> list[Any]:
        values: list[Any] = self._typed(name, list, None, f"{length} {what}")
        if len(values) != length:
            raise SourceError(
                f"{self.where}: config key {name!r}: expected {length} {what}, found {len(values)}"
            )
        return values

    def _typed(self, name: str, kind: type, default: Any, expected: str) -> Any:
        value = self._get(name, default)
        if type(value) is not kind:
            self._refuse(name, expected)
        return value

    def _get(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        value = default if value is None else value
        if value is None:
            raise SourceError(f"{self.where}: the config has no key {name!r}")
        return value

    def _refuse(self, name: str, expected: str) -> NoReturn:
        raise SourceError(
            f"{self.where}: config key {name!r}: expected {expected}, "
            f"found {self.values.get(name)!r:.60}"
        )
