"""Tables as files and documents: VOTable, FITS, Parquet, Arrow, CSV, TSV, ECSV, JSON, HTML, in and out."""
