"""Cross-validate a searched network with scikit-learn, beside a support vector machine, on its digits.

python cross_validation.py
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gcnas import GCNASClassifier

ROWS, LABELS = load_digits(return_X_y=True)  # (1797, 64): rows of 64 numbers are 8x8 images

MODELS = {
    "support vector machine": make_pipeline(StandardScaler(), SVC()),
    # Three candidates a fold: the reference designs of the space, and an edit of one; more budget searches further.
    "searched network": GCNASClassifier(
        budget=3, epochs=3, final_epochs=20, max_params="60k", threads=1, random_state=0
    ),
}


if __name__ == "__main__":
    folds = StratifiedKFold(n_splits=3, shuffle=True, random_state=0)
    for name, model in MODELS.items():
        scores = cross_val_score(model, ROWS, LABELS, cv=folds)
        print(f"{name}: accuracy {scores.mean():.3f}, folds {', '.join(f'{score:.3f}' for score in scores)}")
