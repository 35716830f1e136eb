defmodule Microposts.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    port = String.to_integer(System.get_env("PORT", "4000"))

    children = [
      Microposts.Events,
      Microposts.Store,
      {Task.Supervisor, name: Microposts.Connections, max_children: 1000},
      {Microposts.Web.Server, port: port}
    ]

    Supervisor.start_link(children, strategy: :rest_for_one, name: Microposts.Supervisor)
  end
end
