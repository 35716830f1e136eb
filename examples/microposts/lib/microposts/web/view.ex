defmodule Microposts.Web.View do
  @moduledoc "Posts and nodes as the page gets them."
  alias Microposts.Json

  def posts(posts), do: Json.encode(Enum.map(posts, &fields/1))
  def post(post), do: Json.encode(fields(post))

  @doc "Which node serves, and which others it sees."
  def nodes, do: Json.encode(%{serving: node(), seen: Enum.sort(Node.list())})

  defp fields(post) do
    post |> Map.from_struct() |> Map.update!(:version, &Tuple.to_list/1)
  end
end
