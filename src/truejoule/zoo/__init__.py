"""Small trained networks, and the Fashion-MNIST excerpt that they run on; see README.md here for their provenance."""

from truejoule.zoo.bundle import CLASSES, NETWORKS, images, load, loader
