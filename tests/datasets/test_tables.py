"""CSV tables: text stays text, encodings are told apart or refused, malformed lines are numbered."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfeat.datasets import read_table

ENCODINGS = ["utf-8", "utf-8-sig", "gb18030"]
# A first line no other encoding could have produced, as any real table of Chinese captions has.
SURE = ["图像编号", "一只黑色的猫在红色的房子左边。"]
# The characters of GB 2312 and ASCII, and now and then one beyond.
EVERYDAY = [chr(code) for code in range(0x4E00, 0x9FA6) if chr(code).encode("gb2312", errors="ignore")]
CELL = st.text(
    st.one_of(
        st.sampled_from(EVERYDAY), st.characters(min_codepoint=32, max_codepoint=126), st.sampled_from('\n\r,"，。😀é')
    ),
    max_size=20,
)


@pytest.fixture
def write(tmp_path):
    def write(data, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_bytes(data if isinstance(data, bytes) else data.encode(encoding))
        return path

    return write


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(rows=st.lists(st.tuples(CELL, CELL), max_size=6))
def test_tables_written_are_tables_read(tmp_path_factory, encoding, rows):
    rows = [tuple(SURE), *(row for row in rows if any(map(str.strip, row)))]
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("image_id", "caption"), *rows])
    path = tmp_path_factory.mktemp("round") / "table.csv"
    path.write_bytes(written.getvalue().encode(encoding))
    table = read_table(path)
    assert list(table.columns) == ["image_id", "caption"]
    assert list(table.itertuples(index=False, name=None)) == rows


def test_nothing_is_taken_for_a_number_or_for_missing(write):
    table = read_table(write("id, caption\n007,NA\n1e3,null\n 12 ,\n\n1.0,nan\n"))
    assert table["id"].tolist() == ["007", "1e3", " 12 ", "1.0"]
    assert table["caption"].tolist() == ["NA", "null", "", "nan"]
    assert table.index.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("text", ["这是兩個紅色的氣球，圖中還有一隻黑貓。", "漢字與简体字混排"])
def test_traditional_characters_in_gb18030_are_chinese(write, text):
    assert read_table(write(f"id,caption\n1,{text}\n", "gb18030"))["caption"].tolist() == [text]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("id,caption\n1,un élève très séduisant à la fenêtre\n", "latin-1"),
        ("id,caption\n1,sémaphore\n", "latin-1"),
        ("id,caption\n1,the dog’s ball\n", "cp1252"),
        ("id,caption\n1,これはひらがなです\n", "shift-jis"),
        ("id,caption\n1,图\n", "utf-16"),
    ],
)
def test_other_encodings_are_refused_not_misread(write, text, encoding):
    with pytest.raises(ValueError, match="UTF-8"):
        read_table(write(text, encoding))


@pytest.mark.parametrize("text", ["一只猫", "联通", "一只小猫，两只小猫"])
def test_short_chinese_that_is_valid_utf8_by_accident_is_chinese(write, text):
    assert read_table(write(f"id,caption\n1,{text}\n", "gb18030"))["caption"].tolist() == [text]


@pytest.mark.parametrize("text", ["café", "une élève à la fenêtre", "кошка", "חתול", "γάτα", "“cat” – naïve", "é😀"])
def test_other_scripts_in_utf8_stay_what_they_are(write, text):
    assert read_table(write(f"id,caption\n1,{text}\n"))["caption"].tolist() == [text]


def test_undecodable_bytes_are_located(write):
    data = "id,caption\n1,红色的猫".encode("gb18030") + b"\xff\n"
    with pytest.raises(ValueError, match=f"byte {len(data) - 2} is 0xFF"):
        read_table(write(data))
    with pytest.raises(ValueError, match="byte 6 is 0xE9"):
        read_table(write(b"\xef\xbb\xbfid,\xe9\n"))


def test_named_encoding_is_used_and_checked(write):
    path = write("id,caption\n1,紅色的貓\n", "big5")
    assert read_table(path, encoding="big5")["caption"].tolist() == ["紅色的貓"]
    with pytest.raises(ValueError, match="Got encoding='ascii'"):
        read_table(path, encoding="ascii")
    with pytest.raises(ValueError, match="name of an encoding"):
        read_table(path, encoding="klingon")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("id,caption\n", r"no rows below the column names \['id', 'caption'\]"),
        ("id,id\n1,2\n", "empty or equal column names"),
        ("id,\n1,2\n", "empty or equal column names"),
        ("id,caption\n1,a\n2,b,c\n", "line 3: 3 cells where the header has 2"),
        ("id,caption\n1,a\n2\n", "line 3: 1 cells"),
        ('id,caption\n1,"a\n2,b\n', "malformed at line 3"),
        ('id,caption\n1,"a" b\n', "malformed at line 2"),
        (",\n ,\n", "is empty"),
        (",id,\n0,1,2\n", "empty or equal column names"),
        ("id,caption\r\n1,a\r\n2,b\0\r\n", "NUL character at line 3.*encoding"),
        ('"id";"caption"\n1;a cat, a dog\n', "separated by semicolons.*commas"),
        ("id\tcaption\n1\ta\n", "separated by tabs.*commas"),
    ],
)
def test_malformed_tables_are_refused(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_table(write(text))


def test_the_index_that_pandas_writes_is_dropped(write):
    frame = pd.DataFrame({"id": ["007", "008"], "caption": ["a", "b"]})
    assert read_table(write(frame.to_csv())).to_dict("list") == frame.to_dict("list")


def test_rows_of_blank_cells_are_no_rows(write):
    assert read_table(write("id,caption\n1,a\n,\n ,\t\n,,,,\n2,\n"))["id"].tolist() == ["1", "2"]


def test_byte_order_marks_are_no_part_of_a_name(write):
    assert list(read_table(write("\ufeff\ufeffid,caption\n1,a\n")).columns) == ["id", "caption"]
    assert list(read_table(write("\ufeffid,caption\n1,a\n"), encoding="utf-8").columns) == ["id", "caption"]


def test_long_captions_are_read_and_the_limit_is_put_back(write):
    limit = csv.field_size_limit()
    assert read_table(write("id,caption\n1," + "a" * 200_000 + "\n"))["caption"].str.len().tolist() == [200_000]
    with pytest.raises(ValueError, match="malformed"):
        read_table(write('id,caption\n1,"' + "a" * 200_000))
    assert csv.field_size_limit() == limit


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file '.*nothing\.csv'"):
        read_table(tmp_path / "nothing.csv")
