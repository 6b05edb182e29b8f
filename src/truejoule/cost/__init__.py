"""Accounts of energy, time and area. Pure numbers, no torch."""

from truejoule.cost.compare import Comparison as Comparison
from truejoule.cost.compare import compare as compare
from truejoule.cost.cost import Cost as Cost
from truejoule.cost.cost import TrainingCost as TrainingCost
from truejoule.cost.floorplan import Block as Block
from truejoule.cost.floorplan import Floorplan as Floorplan
from truejoule.cost.ledger import Entry as Entry
from truejoule.cost.ledger import Ledger as Ledger
from truejoule.cost.schedule import Schedule as Schedule
from truejoule.cost.schedule import Slot as Slot
