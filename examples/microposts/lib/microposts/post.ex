defmodule Microposts.Post do
  @moduledoc """
  A post, and which of two versions of it counts.

  Each change makes the next version. A deleted post stays as a mark without text, so that no
  older version that comes later can bring it back.
  """

  @longest 280

  @enforce_keys [:id, :text, :written_at, :node, :version]
  defstruct [:id, :text, :written_at, :node, :version, deleted: false]

  @doc "The text as it is kept, or what is wrong with it."
  def check(text) do
    trimmed = if String.valid?(text), do: String.trim(text)

    cond do
      trimmed == nil -> {:error, "a post is text in UTF-8"}
      trimmed == "" -> {:error, "a post must not be empty"}
      String.length(trimmed) > @longest -> {:error, "a post has at most #{@longest} characters"}
      true -> {:ok, trimmed}
    end
  end

  def new(text) do
    %__MODULE__{
      id: Base.url_encode64(:crypto.strong_rand_bytes(12)),
      text: text,
      written_at: System.os_time(:millisecond),
      node: node(),
      version: {1, node()}
    }
  end

  def edit(post, text), do: %{post | text: text, version: next(post.version)}
  def delete(post), do: %{post | text: "", deleted: true, version: next(post.version)}

  # Two nodes that could not see each other may have made the same step: their names decide.
  defp next({number, _node}), do: {number + 1, node()}

  @doc "Does the first one replace the second? A deletion always does, and stays."
  def replaces?(post, other), do: rank(post) > rank(other)

  defp rank(post), do: {post.deleted, post.version}
end
