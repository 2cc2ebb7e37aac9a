"""How a data set of the hub says which file is what."""

GSM8K_CARD = {
    "configs": [
        {
            "config_name": name,
            "data_files": [
                {"split": "train", "path": f"{name}/train-*"},
                {"split": "test", "path": f"{name}/test-*"},
            ],
        }
        for name in ("main", "socratic")
    ]
}
GSM8K_FILES = ["README.md", ".gitattributes"] + [
    f"{config}/{split}-00000-of-00001.parquet" for config in ("main", "socratic") for split in ("test", "train")
]
