"""What estimates: no Kafka, no sockets, no clock but the one passed in."""
