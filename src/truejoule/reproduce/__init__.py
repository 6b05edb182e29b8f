"""Published claims, re-run: published value, ours, deviation, and why."""

from truejoule.reproduce.claims import Claim as Claim
from truejoule.reproduce.claims import claims as claims
from truejoule.reproduce.claims import papers as papers
