"""What runs: settings, topic catalogue, worker and gateway processes, stores, CLI."""
