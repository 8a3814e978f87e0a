"""A study of your own in Optuna, searched by the strategy of this package: a small network for scikit-learn's digits.

python optuna_study.py
"""

import warnings

import optuna
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from gcnas import GCNASSampler

IMAGES, LABELS = load_digits(return_X_y=True)
TRAIN, VALIDATION, TRAIN_LABELS, VALIDATION_LABELS = train_test_split(
    IMAGES / 16, LABELS, test_size=0.4, random_state=0, stratify=LABELS
)


def objective(trial: optuna.Trial) -> float:
    """Validation accuracy after five passes over a quarter of the digits; the second layer may be absent."""
    widths = [trial.suggest_int("width1", 8, 64, step=8)]
    if trial.suggest_categorical("layers", [1, 2]) == 2:
        widths.append(trial.suggest_int("width2", 8, 64, step=8))
    network = MLPClassifier(
        widths,
        activation=trial.suggest_categorical("activation", ["relu", "tanh", "logistic"]),
        learning_rate_init=trial.suggest_float("rate", 1e-4, 1e-1, log=True),
        alpha=trial.suggest_float("decay", 1e-6, 1e-1, log=True),
        batch_size=trial.suggest_categorical("batch", [16, 32, 64, 128]),
        max_iter=5,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(TRAIN[:450], TRAIN_LABELS[:450])
    return float(network.score(VALIDATION, VALIDATION_LABELS))


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=GCNASSampler(seed=0))
    study.optimize(objective, n_trials=25)
    print(f"best accuracy {study.best_value:.3f} with {study.best_params}")
