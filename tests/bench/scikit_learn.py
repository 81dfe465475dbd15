"""Measures the training steps of scikit-learn's MLPClassifier: `partial_fit` makes one pass over its data in batches.
Prints a JSON object for each batch size. The environment sets the number of threads of NumPy's BLAS."""

import numpy
from sklearn.neural_network import MLPClassifier

import peer


def loop_of(widths, x, y, batch):
    net = MLPClassifier(widths[1:-1], solver="adam", alpha=0.0, batch_size=batch, random_state=1)
    classes = numpy.arange(widths[-1])

    def run(steps):
        while steps > 0:
            now = min(steps, len(x) // batch)
            net.partial_fit(x[:now * batch], y[:now * batch], classes=classes)
            steps -= now

    return run


def main():
    options = peer.arguments(__doc__)
    x, y = peer.training_data(options.data)
    x = x.reshape(len(x), -1)
    for batch in options.batches:
        run = loop_of(options.widths, x, y, batch)
        peer.report(batch, peer.measure(run, batch, options.seconds, peer.calibrate(run, options.seconds)))


main()
