"""Whether a CAR's sources may go: what local copies of it there are, and who else holds it.

A CAR that was marked as delivered by hand is trusted as the mark says. One that is delivered by its deals is looked
at: while its file is in the staging folder, that is a copy; where the sources are the last one, providers must show
that they hold the piece.
"""

from dataclasses import dataclass, field

from ptolemy_core.catalog import replicas
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.project import Project
from ptolemy_core.stages.car_state import is_verified, look, why_unsafe
from ptolemy_core.stages.evidence import Evidence, Looking
from ptolemy_core.stages.evidence import look as ask_providers


@dataclass(slots=True)
class Copies:
    """What is known of the copies of a project's CARs, while its sources are deleted.

    Attributes:
        catalog, project: whose.
        looking: how providers are asked; None: they aren't (a dry run).
        trust_marks, trust_deals: take marks and active deals for enough, without a look.
        told: of each container, in words for the journal, who holds it.
        unproven: why sources stay, where providers didn't show that they hold the piece.
    """

    catalog: Catalog
    project: Project
    looking: Looking | None = None
    trust_marks: bool = False
    trust_deals: bool = False
    told: dict[int, str] = field(default_factory=dict)
    unproven: set[str] = field(default_factory=set)
    _evidence: dict[bytes, Evidence] = field(default_factory=dict)

    def why_unsafe(self, row: CarRow) -> str | None:
        """Why the sources of a verified and delivered CAR can't be deleted; None if they can."""
        found = look(self.project, row)
        if self.project.replicas is None or replicas.is_marked(self.catalog, row.container_id):
            self.told[row.container_id] = f"marked by hand: {row.delivered_to or 'no note'}"
            return why_unsafe(row, found, trust_marks=self.trust_marks)
        if found is not None and not row.is_generated:
            self.told[row.container_id] = f"active deals with {row.delivered_to}, and its file in staging_dir"
            if is_verified(row, found):
                return None
            return why_unsafe(row, found)
        reason = self.why_not_held(row)
        if reason is None:
            return None
        reason = f"{reason}, and these files are its last local copy: --trust-deals deletes them anyway"
        self.unproven.add(reason)
        return reason

    def why_not_held(self, row: CarRow) -> str | None:
        """Why the last local copy of a CAR can't go: too few providers showed that they hold it."""
        wanted = self.project.replicas or 1
        if self.trust_deals:
            self.told[row.container_id] = f"active deals with {row.delivered_to}, trusted without a look"
            return None
        if self.looking is None:
            return None
        if row.piece_cid_v2 not in self._evidence:
            self._evidence[row.piece_cid_v2] = ask_providers(self.catalog, row, wanted, self.looking)
        seen = self._evidence[row.piece_cid_v2]
        if len(seen.held) >= wanted:
            self.told[row.container_id] = (
                f"random ranges were fetched from {', '.join(seen.held)} and checked"
            )
            return None
        faults = "; ".join(f"{name}: {reason}" for name, reason in seen.faults)
        return (
            f"only {len(seen.held)} of {wanted} providers showed that they hold CAR {row.project}/{row.number}"
            f"{f' ({faults})' if faults else ''}"
        )
