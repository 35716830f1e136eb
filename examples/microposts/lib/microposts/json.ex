defmodule Microposts.Json do
  @moduledoc "Terms as JSON text on one line. From OTP 27 on `:json` does it."

  def encode(true), do: "true"
  def encode(false), do: "false"
  def encode(number) when is_integer(number), do: Integer.to_string(number)
  def encode(atom) when is_atom(atom), do: encode(Atom.to_string(atom))
  def encode(text) when is_binary(text), do: [?", for(<<c::utf8 <- text>>, do: escape(c)), ?"]
  def encode(list) when is_list(list), do: [?[, Enum.map_intersperse(list, ",", &encode/1), ?]]

  def encode(map) when is_map(map) do
    members =
      Enum.map_intersperse(map, ",", fn {key, value} -> [encode(key), ?:, encode(value)] end)

    [?{, members, ?}]
  end

  defp escape(?"), do: ~S(\")
  defp escape(?\\), do: ~S(\\)
  defp escape(c) when c < 0x20, do: :io_lib.format("\\u~4.16.0b", [c])
  defp escape(c), do: <<c::utf8>>
end
