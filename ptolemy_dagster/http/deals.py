"""Deals and storage providers: read only. Deals are made by the job `deal` and by `ptolemy deals`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from ptolemy_core.catalog import deal_counts, deals, projects, providers
from ptolemy_core.catalog.deal_counts import Load
from ptolemy_core.deals import DealState
from ptolemy_core.facts.deals import DealFacts, DealHistoryFacts, ProviderFacts, ReplicationFacts
from ptolemy_core.setting_checks import NAME_PATTERN
from ptolemy_dagster import deal_facts
from ptolemy_dagster.http.context import Context, opened
from ptolemy_dagster.http.paging import LINK, Limit, first_page, link_next
from ptolemy_dagster.http.problems import documented

router = APIRouter(tags=["deals"])

Name = Annotated[str, Path(description="Name of a project.", pattern=NAME_PATTERN, max_length=63)]


class ProjectDeals(ReplicationFacts):
    """How far a project's replicas are, and its deals."""

    deals: list[DealFacts]


@router.get("/deals/{project}", responses=LINK | documented(404, 422), summary="Deals of a project")
def project_deals(
    request: Request,
    response: Response,
    context: Annotated[Context, Depends(opened)],
    project: Name,
    state: Annotated[DealState | None, Query(description="Only deals in this state.")] = None,
    limit: Limit = 1000,
    cursor: Annotated[str, Query(description="From the header Link of the page before.", max_length=26)] = "",
) -> ProjectDeals:
    """Its deals by the time that they were made, and how many pieces have enough.

    A CAR that is marked as delivered by hand is a deal without a provider.
    """
    projects.get(context.catalog, project)
    rows = [
        row
        for row in deals.select(context.catalog, project=project, marks=True)
        if row.id > cursor and (state is None or row.state == state)
    ]
    page, more = first_page(rows[: limit + 1], limit)
    if more:
        link_next(request, response, page[-1].id)
    told = deal_facts.replication_facts(context.catalog, project)
    return ProjectDeals(**told.model_dump(), deals=[DealFacts.of(row) for row in page])


@router.get(
    "/deals/{project}/{deal}", responses=documented(404, 422), summary="A deal, and all that it went through"
)
def one_deal(
    context: Annotated[Context, Depends(opened)],
    project: Name,
    deal: Annotated[str, Path(description="A deal's ID.", min_length=26, max_length=26)],
) -> DealHistoryFacts:
    """Its states with their times and what was said."""
    projects.get(context.catalog, project)
    (row,) = deals.named(context.catalog, deal)
    return DealHistoryFacts.with_history(row, deals.history(context.catalog, row.id))


@router.get("/providers", responses=documented(), summary="Storage providers")
def all_providers(context: Annotated[Context, Depends(opened)]) -> list[ProviderFacts]:
    """All providers by name, what they have, and which don't answer."""
    loads = deal_counts.loads(context.catalog)
    return [ProviderFacts.of(row, loads.get(row.name, Load())) for row in providers.rows(context.catalog)]
