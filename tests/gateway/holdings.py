"""Requests to a gateway over a scene, and the bytes of their answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.dag import cid
from ptolemy_core.gateway.access import Access, Grant
from ptolemy_core.gateway.answer import Answer, Refusal
from ptolemy_core.gateway.body import Body
from ptolemy_core.gateway.dag import Holdings
from ptolemy_core.gateway.library import Library
from ptolemy_core.gateway.piece import PieceRequest, answer_piece
from ptolemy_core.gateway.trustless import PathRequest, answer_path
from ptolemy_core.project import parse_project
from tests.car.sections import Section, sections_of
from tests.stages.conftest import PROFILE, Scene


@dataclass
class Got:
    """An answer with its body."""

    answer: Answer
    body: bytes

    @property
    def sections(self) -> list[Section]:
        """Of a CAR."""
        return sections_of(self.body)

    @property
    def cids(self) -> list[bytes]:
        """Of a CAR's sections, in order."""
        return [one.cid for one in self.sections]


class Asked:
    """A gateway over a scene's catalog."""

    def __init__(self, stage: Scene, access: Access | None = None, grant: Grant = Grant.PUBLIC) -> None:
        self.holdings = Holdings(stage.catalog, Library(), PROFILE)
        self.access = access or Access()
        self.grant = grant

    def path(self, root: bytes, *names: bytes, method: str = "GET", **query: str) -> Answer | Refusal:
        """The answer to a request for a path; headers are `h_NAME`."""
        text = "/".join([cid.to_text(root), *(quote_from_bytes(name, safe="") for name in names)])
        return self.text(text, method, **query)

    def text(self, text: str, method: str = "GET", **query: str) -> Answer | Refusal:
        headers = {key[2:].replace("_", "-"): query.pop(key) for key in list(query) if key.startswith("h_")}
        parameters = {key.replace("_", "-"): value for key, value in query.items()}
        request = PathRequest(method, text, parameters, headers, self.grant)
        return answer_path(self.holdings, request, self.access)

    def get(self, root: bytes, *names: bytes, **query: str) -> Got:
        """What a request for a path gets; it must be fulfilled."""
        return self.got(self.path(root, *names, **query))

    def car(self, root: bytes, *names: bytes, **query: str) -> Got:
        """The CAR of a path, with duplicates."""
        return self.get(root, *names, **{"format": "car", "car_dups": "y", **query})

    def piece(self, wanted: bytes, method: str = "GET", **headers: str) -> Answer | Refusal:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        request = PieceRequest(method, cid.to_text(wanted), named, self.grant)
        return answer_piece(self.holdings.catalog, request, self.access, self.holdings.library.first_of)

    def got(self, answer: Answer | Refusal, part: int = 1000) -> Got:
        assert isinstance(answer, Answer), answer
        body = self.read(answer, part)
        if answer.size is not None:
            assert len(body) == answer.size
        return Got(answer, body)

    def read(self, answer: Answer, part: int = 1000) -> bytes:
        body = Body(self.holdings.library, answer)
        out = b""
        try:
            while data := body.read(part):
                out += data
        finally:
            body.close()
        return out


def refusal(answer: Answer | Refusal, status: int) -> str:
    """The detail of a refusal, which must have this status."""
    assert isinstance(answer, Refusal), answer
    assert answer.status == status
    return answer.detail


def public(make: Any, name: str = "p", **settings: Any) -> Scene:
    """A scene whose pieces are public."""
    scene: Scene = make(name, public_pieces=True, **settings)
    return scene


def scene_in(folder: Path, **settings: Any) -> Scene:
    """A public scene in a folder of its own, for tests that change nothing of it."""
    (folder / "target").mkdir()
    fixed = {"name": "p", "target_dir": str(folder / "target"), "staging_dir": str(folder / "staging")}
    usual = {"shard_size": 1, "car_size": 4, "car_sha256": True, "public_pieces": True}
    catalog = Catalog(f"sqlite:///{folder}/home/catalog.db")
    project = parse_project(fixed | usual | settings)
    projects.create(catalog, project)
    return Scene(catalog, project)
