# SPDX-License-Identifier: Apache-2.0
"""The digits data that scikit-learn ships: 1,797 images of 8 x 8 pixels, and the split that the models are judged by."""
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SPLIT_SEED = 2026
HELD_OUT = 0.25


def load():
    """Returns images and labels to train with, then the held-out ones. Pixels in 0..1, float32 [n, 8, 8]."""
    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(images, digits.target, test_size=HELD_OUT,
                                                        random_state=SPLIT_SEED, stratify=digits.target)
    return train_x, train_y.astype(np.int64), test_x, test_y.astype(np.int64)
