"""Small trained networks, and the Fashion-MNIST excerpt that they run on; see README.md here for their provenance."""

from truejoule.zoo.bundle import CLASSES as CLASSES
from truejoule.zoo.bundle import NETWORKS as NETWORKS
from truejoule.zoo.bundle import calibration as calibration
from truejoule.zoo.bundle import images as images
from truejoule.zoo.bundle import load as load
from truejoule.zoo.bundle import loader as loader
