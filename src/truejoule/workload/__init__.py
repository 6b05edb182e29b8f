"""What a network asks of hardware. Pure numbers, no torch."""

from truejoule.workload.activity import Activity as Activity
from truejoule.workload.activity import LayerActivity as LayerActivity
from truejoule.workload.activity import Work as Work
from truejoule.workload.layer import Layer as Layer
from truejoule.workload.neuron import Neuron as Neuron
from truejoule.workload.training import TrainingSparsity as TrainingSparsity
from truejoule.workload.workload import Edge as Edge
from truejoule.workload.workload import NotUnderstood as NotUnderstood
from truejoule.workload.workload import Workload as Workload
