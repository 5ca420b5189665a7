"""SendGrid's own description lies beside the checkout, not in it: where it is not, its comparison is not collected."""

from __future__ import annotations

from tests.node import ROOT

DESCRIPTION = ROOT.parent / "shared" / "sendgrid-openapi" / "tsg_mail_v3.json"
LISTS_DESCRIPTION = DESCRIPTION.with_name("tsg_suppressions_v3.json")

collect_ignore = [] if DESCRIPTION.is_file() else ["test_contract.py", "test_lists_contract.py"]


def pytest_report_header() -> str:
    """Say whether the double was compared."""
    return f"sendgrid-double: {'compared with' if DESCRIPTION.is_file() else 'no'} description of SendGrid's own"
