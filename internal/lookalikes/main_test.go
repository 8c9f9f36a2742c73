package lookalikes_test

import (
	"testing"

	"calotype/internal/images/imagestest"
)

func TestMain(m *testing.M) { imagestest.Main(m) }
