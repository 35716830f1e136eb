defmodule Microposts.Events do
  @moduledoc """
  Who is told of what: process groups of OTP's `:pg`, which span the nodes.

  Open pages are one group, and get `{:changed, post}` for every change on any node, and
  `:refresh` when their node's posts are others than before. The stores are another group.
  """

  def child_spec(_options), do: %{id: __MODULE__, start: {:pg, :start_link, [__MODULE__]}}

  @doc "The calling process is an open page."
  def subscribe, do: :pg.join(__MODULE__, :pages, self())

  def changed(post) do
    for page <- :pg.get_members(__MODULE__, :pages), do: send(page, {:changed, post})
    :ok
  end

  def refresh do
    for page <- :pg.get_local_members(__MODULE__, :pages), do: send(page, :refresh)
    :ok
  end

  @doc "The calling process is a node's store, and gets `{_, :join | :leave, :stores, _}`."
  def join_stores do
    {_reference, _stores} = :pg.monitor(__MODULE__, :stores)
    :pg.join(__MODULE__, :stores, self())
  end

  @doc "The nodes that have a store, as far as they are seen."
  def store_nodes do
    Enum.uniq(for store <- :pg.get_members(__MODULE__, :stores), do: node(store))
  end
end
