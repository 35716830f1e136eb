defmodule Microposts.MixProject do
  use Mix.Project

  def project do
    [
      app: :microposts,
      version: "0.1.0",
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      releases: [
        microposts: [include_executables_for: [:unix], steps: [:assemble, &replace_epmd/1]]
      ]
    ]
  end

  def application do
    [mod: {Microposts.Application, []}, extra_applications: [:logger, :crypto, :mnesia]]
  end

  # Puts kepmd over the release's own epmd, when KEPMD_EPMD names the program. Without it the
  # release is an ordinary one, with stock epmd.
  defp replace_epmd(release) do
    if epmd = System.get_env("KEPMD_EPMD") do
      File.cp!(epmd, Path.join(release.path, "erts-#{release.erts_version}/bin/epmd"))
    end

    release
  end
end
