defmodule Microposts.Posts do
  @moduledoc "What can be done with posts. Whoever looks at them is told of every change."

  alias Microposts.{Events, Post, Store}

  @doc "All posts, with the marks of deleted ones, in no order."
  defdelegate all(), to: Store

  def create(text) do
    with {:ok, text} <- Post.check(text) do
      tell(Store.create(Post.new(text)))
    end
  end

  def edit(id, text) do
    with {:ok, text} <- Post.check(text) do
      tell(Store.change(id, &Post.edit(&1, text)))
    end
  end

  def delete(id), do: tell(Store.change(id, &Post.delete/1))

  defp tell({:ok, post}) do
    Events.changed(post)
    {:ok, post}
  end

  defp tell(error), do: error
end
