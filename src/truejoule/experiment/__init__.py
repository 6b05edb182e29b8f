"""Many runs: where they are kept."""

from truejoule.experiment.store import read as read
from truejoule.experiment.store import write as write
from truejoule.experiment.store import write_page as write_page
