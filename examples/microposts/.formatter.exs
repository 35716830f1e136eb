[inputs: ["mix.exs", "config/*.exs", "lib/**/*.ex"]]
