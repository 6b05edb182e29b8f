"""Remedies: one file each, and the plan that they change."""

from truejoule.mitigation.plan import Mitigation as Mitigation
from truejoule.mitigation.plan import Plan as Plan
from truejoule.mitigation.plan import apply as apply
