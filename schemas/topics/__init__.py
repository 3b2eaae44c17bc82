"""What stands on Kafka topics: a module for each family of topics."""
