import Config

# All in memory: a pod needs no volume, and starts with nothing of a former life.
config :mnesia, schema_location: :ram
