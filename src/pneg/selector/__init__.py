"""Response selectors: candidates, model, training, ranking, metrics. Import the module you need."""
