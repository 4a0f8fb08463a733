"""The scikit-learn edge: estimators assemble the parts and own every array that a user sees."""
