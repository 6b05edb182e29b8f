"""What runs: any torch module, read once, run under observation."""

from truejoule.network.checks import check_module as check_module
from truejoule.network.interpret import Call as Call
from truejoule.network.interpret import OnCall as OnCall
from truejoule.network.interpret import OnLayer as OnLayer
from truejoule.network.network import Network as Network
from truejoule.network.network import drift as drift
from truejoule.network.network import measure as measure
from truejoule.network.observe import observe as observe
from truejoule.network.observe import read as read
from truejoule.network.observe import require_supported as require_supported
from truejoule.network.predict import predict as predict
from truejoule.network.probe import UnknownNeuron as UnknownNeuron
from truejoule.network.probe import probe as probe
from truejoule.network.recorder import ActivityRecorder as ActivityRecorder
from truejoule.network.state import reset as reset
from truejoule.network.training_step import training_step as training_step
