"""MNIST in Keras on TensorFlow: `mnist_keras.py FOLDER mlp|cnn EPOCHS`."""

import os
import sys

import keras
import tensorflow as tf
from keras import layers
from mnist_files import read

tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))
tf.config.threading.set_inter_op_parallelism_threads(1)
folder, kind, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
keras.utils.set_random_seed(0)
(x, y), (x_test, y_test) = [(images[..., None], labels) for images, labels in read(folder)]
if kind == "mlp":
    parts = [layers.Flatten(), layers.Dense(512, activation="relu")]
    optimizer = keras.optimizers.RMSprop(0.001, rho=0.9)
else:
    parts = [
        *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2), layers.Dropout(0.25)),
        *(layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.5)),
    ]
    optimizer = keras.optimizers.Adadelta(1.0, rho=0.95)
model = keras.Sequential([keras.Input((28, 28, 1)), *parts, layers.Dense(10, activation="softmax")])
model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, batch_size=128, epochs=epochs, validation_split=0.05, verbose=2)
print("test accuracy", model.evaluate(x_test, y_test, batch_size=512, verbose=0)[1])
