"""``relay init``: a config from answers, tried before it is written."""
