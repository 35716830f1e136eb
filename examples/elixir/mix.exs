defmodule Sample.MixProject do
  use Mix.Project

  def project do
    [
      app: :sample,
      version: "0.1.0",
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      releases: [
        sample: [include_executables_for: [:unix], steps: [:assemble, &replace_epmd/1]]
      ]
    ]
  end

  def application do
    [mod: {Sample.Application, []}, extra_applications: [:logger]]
  end

  # Puts kepmd over the release's own epmd, when KEPMD_EPMD names the program, and keeps what was
  # there as epmd.stock. Without it the release is an ordinary one, with stock epmd.
  defp replace_epmd(release) do
    if epmd = System.get_env("KEPMD_EPMD") do
      bin = Path.join(release.path, "erts-#{release.erts_version}/bin")

      File.dir?(bin) || Mix.raise("KEPMD_EPMD: no place for it in a release without ERTS")
      File.regular?(epmd) || Mix.raise("KEPMD_EPMD: there is no file #{epmd}")
      File.cp!(Path.join(bin, "epmd"), Path.join(bin, "epmd.stock"))
      File.cp!(epmd, Path.join(bin, "epmd"))
    end

    release
  end
end
