"""Functions that only compute: what a query may call without being asked what it calls.

They read nothing but their arguments (or the clock), change nothing, and cannot be made to wait. Whatever is not here
is undecided unless the policy names it: functions that read files or settings, run text as SQL, sleep, lock, draw
from a sequence, and every function somebody wrote himself. Work without end (a cross join, a recursive query) is not
judged.
"""

from __future__ import annotations

__all__ = ["HARMLESS"]

_EVERYWHERE = frozenset(
    """
    abs avg ceil ceiling coalesce concat count cume_dist current_date current_time current_timestamp dense_rank exp
    first_value floor group_concat lag last_value lead length ln lower ltrim max min mod ntile nullif percent_rank pow
    power rank replace round row_number rtrim sign sqrt substr substring sum trim upper
    """.split()  # noqa: SIM905 - a page of words reads better without quotes
)
_ONLY = {
    "postgres": """
    acos age array_agg array_append array_cat array_length array_position array_prepend array_remove array_to_string
    arrayagg arraysize arraytostring asin atan atan2 bool_and bool_or btrim cardinality char_length character_length
    chr concat_ws corr cos cot date_part date_trunc degrees div every extract format greatest initcap
    is_nan json_agg json_array_length json_build_array json_build_object json_extract_path json_extract_path_text
    json_object_agg json_typeof jsonb_agg jsonb_array_length jsonb_build_array jsonb_build_object jsonb_extract_path
    jsonb_extract_path_text jsonb_object_agg jsonb_typeof jsonb_array_elements jsonb_array_elements_text jsonb_each
    jsonb_each_text jsonb_object_keys json_array_elements json_array_elements_text json_each json_each_text
    json_object_keys least left log log10 logical_and logical_or make_date make_interval make_timestamp md5 mode now
    nth_value octet_length percentile_cont percentile_disc pi position radians regexp_count regexp_instr regexp_like
    regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr reverse right
    row_to_json sha256 sin split_part starts_with stddev stddev_pop stddev_samp str_position strpos string_agg
    string_to_array tan timestamp_trunc to_char to_date to_json to_jsonb to_number to_timestamp translate
    trunc unnest var_pop var_samp variance width_bucket array_lower array_upper
    """,
    "mysql": """
    acos adddate any_value asin atan atan2 bit_length char_length character_length concat_ws convert cos cot curdate
    curtime date date_add date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear degrees elt extract
    field find_in_set format from_unixtime greatest hex hour if ifnull instr isnull json_array json_arrayagg
    json_contains json_extract json_keys json_length json_object json_objectagg json_type json_unquote json_valid
    last_day lcase least left locate log log10 log2 lpad maketime mid minute month monthname now nth_value
    octet_length pi position quarter radians regexp_instr regexp_like regexp_replace regexp_substr reverse right rpad
    sec_to_time second sin space std stddev stddev_pop stddev_samp str_to_date strcmp subdate substring_index subtime
    tan time time_format time_to_sec timediff timestampadd timestampdiff to_days truncate ucase unhex unix_timestamp
    utc_date utc_time utc_timestamp values var_pop var_samp variance week weekday weekofyear year yearweek str_position
    """,
    "sqlite": """
    changes date datetime format glob hex ifnull iif instr json json_array json_array_length json_each json_extract
    json_group_array json_group_object json_object json_quote json_tree json_type json_valid julianday
    last_insert_rowid like likely nth_value printf quote random sqlite_version strftime time timediff total typeof
    unicode unixepoch unlikely
    """,
    "duckdb": """
    any_value approx_count_distinct arg_max arg_min array_agg array_length bool_and bool_or chr concat_ws contains
    corr date_diff date_part date_sub date_trunc datediff datepart day dayname dayofweek dayofyear ends_with epoch
    extract greatest hash hour ifnull instr isfinite isinf isnan json_extract json_extract_string json_keys json_type
    json_valid last_day least left len list list_aggregate list_avg list_contains list_distinct list_filter list_max
    list_min list_sort list_sum list_transform list_value log log10 log2 make_date md5 median minute mode month
    monthname now nth_value pi quantile quantile_cont quarter radians regexp_extract regexp_full_match regexp_matches
    regexp_replace regexp_split_to_array reverse right second split_part starts_with stddev stddev_pop stddev_samp
    strftime string_agg string_split strptime struct_extract to_timestamp today trunc unnest var_pop var_samp variance
    week year
    """,
    "tsql": """
    acos ascii asin atan atn2 cast charindex checksum_agg choose concat_ws convert cos cot count_big datalength
    dateadd datediff datediff_big datefromparts datename datepart datetrunc day degrees difference eomonth format
    getdate getutcdate greatest iif isdate isjson isnull isnumeric json_query json_value least left len log log10
    month nchar parse patindex percentile_cont percentile_disc pi quotename radians reverse right sin
    soundex space square stdev stdevp str string_agg stuff switchoffset sysdatetime sysdatetimeoffset sysutcdatetime
    tan todatetimeoffset translate try_cast try_convert try_parse unicode var varp year
    """,
}

HARMLESS: dict[str | None, frozenset[str]] = {
    None: _EVERYWHERE,
    **{dialect: _EVERYWHERE | frozenset(words.split()) for dialect, words in _ONLY.items()},
}
"""Per dialect (None: whichever it is), by the name a query writes or the parser gives."""
