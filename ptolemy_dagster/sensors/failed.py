"""The sensor `failed`: a run that failed says why in a tag, and somebody is told, if there is a webhook.

The webhook is a URL in PTOLEMY_WEBHOOK_URL. It gets a POST of JSON; `text` is a sentence, which Slack, Mattermost and
Google Chat show as a message.
"""

import os
from urllib.parse import urlsplit

import dagster as dg

from ptolemy_dagster.failures import tag_reason, why_ended
from ptolemy_dagster.run_facts import PARTITION_TAG, stage_name

WEBHOOK = "PTOLEMY_WEBHOOK_URL"
UI_URL = "PTOLEMY_UI_URL"
"""The web UI as users reach it: for links in messages."""
_SECONDS = 10


@dg.run_failure_sensor(
    name="failed",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Puts the reason of a failed run into its tag `reason`, and posts it to PTOLEMY_WEBHOOK_URL.",
)
def failed(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Tell of a failed run."""
    instance, run = context.instance, context.dagster_run
    why = why_ended(instance, run)
    reason = why.text or "it failed without saying why"
    tag_reason(instance, run.run_id, reason)
    url = os.environ.get(WEBHOOK)
    if not url:
        return None
    return _post(url, message(run, reason, why.code))


def message(run: dg.DagsterRun, reason: str, code: str | None) -> dict[str, str | None]:
    """What is posted."""
    project = run.tags.get(PARTITION_TAG)
    base = os.environ.get(UI_URL, "").rstrip("/")
    link = f"{base}/runs/{run.run_id}" if base else None
    stage = stage_name(run.job_name)
    what = f"{stage} of project {project}" if project else stage
    return {
        "text": f"{what} failed: {reason}" + (f" {link}" if link else ""),
        "project": project,
        "stage": stage,
        "reason": reason,
        "code": code,
        "run_id": run.run_id,
        "run_url": link,
    }


def _post(url: str, content: dict[str, str | None]) -> dg.SkipReason | None:
    """Post a message; what goes wrong is said in the sensor's history, without the URL's secrets."""
    import requests  # no run needs it, and each would import it

    host = urlsplit(url).hostname or "the webhook"
    try:
        answer = requests.post(url, json=content, timeout=_SECONDS)
    except requests.RequestException as error:
        return dg.SkipReason(f"{host} could not be told: {type(error).__name__}")
    if answer.status_code >= 400:
        return dg.SkipReason(f"{host} did not take the message: HTTP {answer.status_code}")
    return None
