"""What is read of one table: its columns by their titles, and what the table as a whole says of its people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from newsletter.subscriber_import.columns import Column, find_column, is_of_patients, rank
from newsletter.subscriber_import.model import TableUse, Wish, strongest
from newsletter.subscriber_import.services import GENERAL, PATIENTS, Service, find_service, wish_by_name
from newsletter.subscriber_import.words import plain

TELLS_WISH = (
    Column.STATUS,
    Column.SUPPRESSED_BECAUSE,
    Column.AGREED,
    Column.REFUSED,
    Column.BOUNCED,
    Column.COMPLAINED,
)
"""Columns that say what somebody wishes; of these a table may have several, and the strongest refusal counts."""
SAYS_YES = (Column.STATUS, Column.AGREED)


@dataclass(frozen=True)
class Layout:
    """How a table is read: the places of its columns, and what counts for everybody in it unless a row is stronger."""

    width: int
    columns: tuple[tuple[int, Column], ...]
    use: TableUse

    def place(self, column: Column) -> int | None:
        """Where a column stands, from 0; None where there is none."""
        return next((index for index, there in self.columns if there is column), None)

    @property
    def wish(self) -> Wish:
        """What the table says of everybody in it."""
        return self.use.wish


def lay_out(titles: Sequence[str], table: str, wish: Wish = Wish.WANTS) -> Layout | None:
    """How a table with these titles is read; None when none of them is that of an address.

    `wish` is what staff say of the whole file; its name and its service may say more, and the strongest counts.
    """
    names = [plain(title) for title in titles]
    service = find_service(frozenset(names))
    found = [
        (index, column)
        for index, title in enumerate(titles)
        if (column := service.columns.get(names[index], find_column(title)))
    ]
    chosen = _choose(found, titles, service)
    if not any(column is Column.ADDRESS for _, column in chosen):
        return None
    read = {index for index, _ in chosen}
    says_yes = any(column in SAYS_YES for _, column in chosen)
    patients = not says_yes and any(map(is_of_patients, titles))
    whole = strongest(wish, service.wish if not says_yes else _refusal(service.wish), wish_by_name(table))
    use = TableUse(
        name=table,
        format=service.name,
        wish=strongest(whole, Wish.NOT_ASKED) if patients else whole,
        used=tuple((titles[index].strip(), column.value) for index, column in chosen),
        dropped=tuple(title.strip() for index, title in enumerate(titles) if index not in read and title.strip()),
        advice=PATIENTS if patients or (whole is Wish.NOT_ASKED and service is not GENERAL) else service.advice,
    )
    return Layout(len(titles), tuple(chosen), use)


def _choose(found: Sequence[tuple[int, Column]], titles: Sequence[str], service: Service) -> list[tuple[int, Column]]:
    """Of columns that tell the same the surest; of those that tell a wish all."""

    def sureness(index: int) -> int:
        return -1 if plain(titles[index]) in service.columns else rank(titles[index])

    best: dict[Column, int] = {}
    for index, column in found:
        if column not in best or sureness(index) < sureness(best[column]):
            best[column] = index
    return [(index, column) for index, column in found if column in TELLS_WISH or best[column] == index]


def _refusal(wish: Wish) -> Wish:
    """What a service says of everybody still counts beside a column that says yes only when it is a refusal."""
    return wish if wish is not Wish.NOT_ASKED else Wish.WANTS
